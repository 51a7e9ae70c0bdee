"""What happens once in every process of this installation."""

import atexit
import gc

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        from config import queue  # needs loaded models

        queue.install()
        atexit.register(gc.freeze)  # else the end of each process walks all its objects once more: half a second
