"""Stage 8: the module on every kernel that can be had: which compile it, which it passes on."""
