"""The life-cycle suite: what holds peer-to-peer memory, crossed with all that can happen to it."""
