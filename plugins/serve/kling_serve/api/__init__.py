"""Interfaces that other programs speak: videos, images and models in the OpenAI shape, and their OpenAPI document."""
