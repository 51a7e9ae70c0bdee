"""How often people are asked, and how they answer: whether each request is worth their time."""
