"""Stage 4: the virtual machine. Topology -> QEMU command line; console; DMA trace."""
