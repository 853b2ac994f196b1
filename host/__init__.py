"""The machine the lab runs on: its tools, processes and files, and how errors reach a person."""
