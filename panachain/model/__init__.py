"""The nouns: frozen values that every floor above shares. They do no I/O and import nothing but nouns."""
