"""The languages in which models without a vendor's computer tool say what they want. Each module is pure: words in, calls out."""
