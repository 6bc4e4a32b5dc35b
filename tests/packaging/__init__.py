"""The wheel and the sdist, as users and packagers get them."""
