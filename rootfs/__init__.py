"""Stage 3: the root file system. Checks what goes in (pyelftools), packs it into an initramfs."""
