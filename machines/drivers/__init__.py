"""One module for each way of reaching a computer; `drivers.base` holds what they share."""
