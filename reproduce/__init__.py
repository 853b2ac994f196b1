"""Stage 7: the image is built again, in other surroundings or by somebody else, and compared."""
