"""Stage 1: the kernel. Source (download, verify, unpack) -> configuration -> build."""
