"""Ten tasks on real machines for a real model: `MODEL_TEST_URL=… make test-model` (docs/models.md)."""
