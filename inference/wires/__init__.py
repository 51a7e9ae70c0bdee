"""The four ways of talking to models. Each module is the only place that imports its SDK, and only when it is used."""
