"""The version of this installation."""

VERSION = "0.1.0"
API_VERSION = "1"
