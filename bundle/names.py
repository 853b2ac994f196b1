"""What the folders and files of a bundle are called, but for manifest and sums."""

IMAGE = "image"
EVIDENCE = "evidence"

# In the image, beside what settings.paths names.
TOPOLOGY = "topology.toml"
SCENARIO = "scenario.toml"
FRAGMENTS = "fragments/"  # each is called by its place among them and its own name
BOOT = "boot.sh"
READ_ME = "README"
BILL = "sbom.cdx.json"  # of materials
