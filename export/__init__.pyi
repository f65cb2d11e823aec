from .check import Checked as Checked
from .check import check_export as check_export
from .client import Client as Client
from .litert import export_litert as export_litert
from .onnx import export_onnx as export_onnx
from .saved_model import export_saved_model as export_saved_model
from .server import Server as Server
from .trained import export_run as export_run
from .trained import exporter as exporter
from .trained import load_keras_file as load_keras_file

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
