"""Tools of the checkout: they measure the code and are no part of an installation."""
