"""Keys: how programs call the API."""
