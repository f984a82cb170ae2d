"""Pattern of the URLs from which the gateway can fetch media."""

# As in the packaged schemas, but without lone surrogates, which cannot be sent.
HTTP_URL = r"https?://[^\s\x00-\x1f\x85\ufeff\ud800-\udfff/?#][^\s\x00-\x1f\x85\ufeff\ud800-\udfff]*"
