"""The product's password hashing with as little work as Argon2 allows: what is tested is not how long it takes."""

from accounts.passwords import Argon2


class QuickArgon2(Argon2):
    time_cost, memory_cost, parallelism = 1, 8, 1
