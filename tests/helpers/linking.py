"""What an address can say of a setting."""


def another(key):
    """(a value of a key that is not its default, its text); None if there is no other."""
    for text in ["1", "2", "0", "8", "0.5", "1,2", "24", *key.words.partition(" of ")[2].split(", ")]:
        try:
            if (value := key.check(text)) != key.default:
                return value, text
        except ValueError:
            pass
    return None
