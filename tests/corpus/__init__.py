"""Records that no producer should send, with the code each must get: data, made by `make_records`."""
