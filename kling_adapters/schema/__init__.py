"""What generated code imports: the base class of parameters, rules and the tables of the gateway."""
