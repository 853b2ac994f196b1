"""Stage 6: what is kept of a build and of its verification, and how anyone checks it."""
