"""Our OTLP schemas beside the official ones: every message and field of ours has the same name,
number, type, label and presence there."""

import json
import os
import subprocess
import sys
import unittest

if __name__ == "__main__" and "--describe" not in sys.argv:
    import harness
    from harness import build_dir, test_python

MODULES = ("common.v1.common", "resource.v1.resource", "metrics.v1.metrics", "trace.v1.trace",
           "collector.metrics.v1.metrics_service", "collector.trace.v1.trace_service")
ENUM, MESSAGE = 14, 11


def describe_fields(pool, name):
    """What a field is on the wire and to a reader; a one-member oneof is what `optional` makes."""
    described = {}
    for field in pool.FindMessageTypeByName(name).fields:
        other = field.message_type or field.enum_type
        union = field.containing_oneof
        alone = union is not None and len(union.fields) == 1
        described[field.name] = {
            "number": field.number, "type": field.type, "of": other.full_name if other else None,
            "repeated": field.is_repeated, "packed": field.is_packed,
            "presence": field.has_presence,
            "oneof": union.name if union is not None and not alone else None}
    return described


def describe_enum(enum):
    return {value.name: value.number for value in enum.values}


def describe(descriptors_file):
    """Runs in the environment that has the official package; prints both sides as JSON."""
    import importlib
    from google.protobuf import descriptor_pb2, descriptor_pool
    for module in MODULES:
        importlib.import_module(f"opentelemetry.proto.{module}_pb2")
    theirs = descriptor_pool.Default()
    ours = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet()
    with open(descriptors_file, "rb") as file:
        files.ParseFromString(file.read())
    rows = []

    def walk(prefix, messages, enums):
        for enum in enums:
            name = f"{prefix}.{enum.name}"
            rows.append({"name": name, "ours": describe_enum(ours.FindEnumTypeByName(name)),
                         "theirs": describe_enum(theirs.FindEnumTypeByName(name))})
        for message in messages:
            name = f"{prefix}.{message.name}"
            try:
                official = describe_fields(theirs, name)
            except KeyError:
                official = None
            rows.append({"name": name, "ours": describe_fields(ours, name), "theirs": official})
            walk(name, message.nested_type, message.enum_type)

    for file in files.file:
        ours.Add(file)
    for file in files.file:
        if file.package.startswith("opentelemetry."):
            walk(file.package, file.message_type, file.enum_type)
    print(json.dumps(rows))


class Descriptors(unittest.TestCase):
    def setUp(self):
        path = os.path.join(build_dir(), "generated/proto/opentelemetry/descriptors.bin")
        if not os.path.exists(path):
            self.skipTest(f"{path} is not built")
        self.rows = json.loads(subprocess.check_output(
            [test_python(), "-B", __file__, "--describe", path]))

    def test_all_are_the_official_ones(self):
        fields = 0
        for row in self.rows:
            with self.subTest(row["name"]):
                self.assertIsNotNone(row["theirs"], "no such message")
                for name, ours in row["ours"].items():
                    self.assertIn(name, row["theirs"])
                    self.assertEqual(ours, row["theirs"][name], name)
                    fields += 1
        self.assertGreater(fields, 80)

    def test_the_requests_are_there(self):
        names = {row["name"] for row in self.rows}
        for signal, service in (("metrics", "Metrics"), ("trace", "Trace")):
            for kind in ("Request", "Response"):
                self.assertIn(f"opentelemetry.proto.collector.{signal}.v1"
                              f".Export{service}Service{kind}", names)


if __name__ == "__main__":
    if "--describe" in sys.argv:
        describe(sys.argv[-1])
    else:
        harness.main()
