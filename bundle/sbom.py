"""The image's software bill of materials: CycloneDX 1.6, as JSON.

It tells what is shipped (scope ``required``) from what only made it (``excluded``), with name,
version, package URL, licence and sum as far as they are known, and what depends on what. Like the
image itself it is a function of the inputs: no random number, no time of day, no path.
"""

import json
import uuid
from datetime import UTC, datetime

from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.lifecycle import LifecyclePhase, PredefinedLifecycle
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6

from bundle import licences
from bundle.components import SbomError, component, spdx
from bundle.names import BILL
from bundle.parts import IMAGE, LAB, Parts, graph_of, lab_version
from kernel.environment import SOURCE_DATE_EPOCH

HEAD = ("$schema", "bomFormat", "specVersion", "serialNumber", "version", "metadata")
# Serial numbers are derived from what an SBOM says, in a name space of their own.
SERIALS = uuid.uuid5(uuid.NAMESPACE_URL, f"pkg:generic/{IMAGE}")


def sbom(parts: Parts) -> str:
    """Return the SBOM of an image: the same text for the same parts.

    Raises:
        SbomError: a file that every image has is not among the outputs.
        OSError: a file that went into the image is not there any more.
    """
    bom = _bom(parts)
    bom.serial_number = uuid.uuid5(SERIALS, _as_text(bom))
    return _as_text(bom)


def validate(text: str) -> None:
    """Check a text against the standard's own schema, where nothing unknown is allowed.

    Raises:
        SbomError: it does not conform; the message has the place.
    """
    # Slow to load, and not needed by whoever only writes.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    try:
        found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    except ValueError as error:
        raise SbomError(f"{BILL}: not JSON: {error}") from error
    if found is not None:
        raise SbomError(f"{BILL}: {found.data.json_path}: {found.data.message}")


def _as_text(bom: Bom) -> str:
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    # A reader first wants to know what this is, and what about.
    return json.dumps({key: document[key] for key in (*HEAD, *document)}, indent=2) + "\n"


def _bom(parts: Parts) -> Bom:
    image = component(
        ComponentType.FIRMWARE,
        IMAGE,
        ref=IMAGE,
        version=parts.kernel.version,
        properties=(("recipe", parts.lab.recipe),),
    )
    graph = graph_of(parts)
    bom = Bom(
        serial_number=uuid.UUID(int=0),
        metadata=BomMetaData(
            timestamp=datetime.fromtimestamp(SOURCE_DATE_EPOCH, UTC),
            lifecycles=[PredefinedLifecycle(LifecyclePhase.BUILD)],
            tools=ToolRepository(components=[_writer()]),
            component=image,
        ),
        components=graph.components.values(),
    )
    known = {IMAGE: image, **graph.components}
    for ref, needs in graph.needs.items():
        bom.register_dependency(known[ref], [known[need] for need in needs])
    return bom


def _writer() -> Component:
    return Component(
        type=ComponentType.APPLICATION,
        name=LAB,
        version=lab_version(),
        licenses=spdx(licences.LAB),
    )
