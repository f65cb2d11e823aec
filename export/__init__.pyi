from .checks.check import Checked as Checked
from .checks.check import check_export as check_export
from .client.client import Client as Client
from .formats.litert import export_litert as export_litert
from .formats.onnx import export_onnx as export_onnx
from .formats.saved_model import export_saved_model as export_saved_model
from .formats.sources import export_run as export_run
from .formats.sources import exporter as exporter
from .formats.sources import load_keras_file as load_keras_file
from .testing_server.server import Server as Server

__all__ = [
    "Checked",
    "Client",
    "Server",
    "check_export",
    "export_litert",
    "export_onnx",
    "export_run",
    "export_saved_model",
    "exporter",
    "load_keras_file",
]
