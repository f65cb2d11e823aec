"""Runs a SavedModel with the C API of TensorFlow, whose loader TF Serving uses too.

Needs numpy and the two libraries that lie in TensorFlow's wheel; no Python code of TensorFlow runs.
The functions are declared in tensorflow/c/c_api.h.
"""

import ctypes
import os
from collections.abc import Mapping

import numpy as np

# Values of TF_DataType and TF_Code.
TYPES = {"float32": 1, "int32": 3}
INVALID_ARGUMENT = 3


class CError(Exception):
    """A status of TensorFlow that is not OK.

    Attributes:
        code: The TF_Code.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Output(ctypes.Structure):
    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


def load_library(folder: str) -> ctypes.CDLL:
    """Loads TensorFlow's C API from the folder of its wheel."""
    suffix = ".2.dylib" if os.uname().sysname == "Darwin" else ".so.2"
    framework = os.path.join(folder, f"libtensorflow_framework{suffix}")
    ctypes.CDLL(framework)
    library = ctypes.CDLL(os.path.join(folder, f"libtensorflow_cc{suffix}"))
    pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    declared = {
        "TF_NewStatus": (pointer, []),
        "TF_GetCode": (ctypes.c_int, [pointer]),
        "TF_Message": (text, [pointer]),
        "TF_DeleteStatus": (None, [pointer]),
        "TF_NewSessionOptions": (pointer, []),
        "TF_DeleteSessionOptions": (None, [pointer]),
        "TF_NewGraph": (pointer, []),
        "TF_LoadSessionFromSavedModel": (pointer, [
            pointer, pointer, text, ctypes.POINTER(text), ctypes.c_int, pointer, pointer, pointer,
        ]),
        "TF_GraphOperationByName": (pointer, [pointer, text]),
        "TF_AllocateTensor": (pointer, [ctypes.c_int, pointer, ctypes.c_int, size]),
        "TF_DeleteTensor": (None, [pointer]),
        "TF_TensorType": (ctypes.c_int, [pointer]),
        "TF_NumDims": (ctypes.c_int, [pointer]),
        "TF_Dim": (ctypes.c_int64, [pointer, ctypes.c_int]),
        "TF_TensorByteSize": (size, [pointer]),
        "TF_TensorData": (pointer, [pointer]),
        "TF_SessionRun": (None, [
            pointer, pointer, pointer, pointer, ctypes.c_int, pointer, pointer, ctypes.c_int,
            pointer, ctypes.c_int, pointer, pointer,
        ]),
    }  # fmt: skip
    for name, (result, arguments) in declared.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Session:
    """A loaded SavedModel.

    Args:
        library: Result of `load_library`.
        folder: Version folder.
        tensors: {signature: {"inputs": {name: tensor of the graph, as "x:0"}, "outputs": ...}}.

    Raises:
        CError: TensorFlow cannot load it.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        folder: str,
        tensors: Mapping[str, Mapping[str, Mapping[str, str]]],
    ) -> None:
        self._library = library
        self._status = library.TF_NewStatus()
        self._graph = library.TF_NewGraph()
        options = library.TF_NewSessionOptions()
        tags = (ctypes.c_char_p * 1)(b"serve")
        self._session = library.TF_LoadSessionFromSavedModel(
            options, None, os.fsencode(folder), tags, 1, self._graph, None, self._status
        )
        library.TF_DeleteSessionOptions(options)
        self._check()
        # Of each signature the names of its inputs and of its outputs, and where they are.
        self._names = {name: [list(side) for side in of.values()] for name, of in tensors.items()}
        self._places = {
            name: [(_Output * len(side))(*map(self._find, side.values())) for side in of.values()]
            for name, of in tensors.items()
        }

    def __call__(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature: {name: array} to {name: array}.

        Raises:
            CError: TensorFlow refuses the inputs, or fails.
        """
        tensors = self.allocate(signature, inputs)
        try:
            return self.to_arrays(self.run(signature, tensors), signature)
        finally:
            self.delete(tensors)

    def allocate(self, signature: str, inputs: Mapping[str, np.ndarray]) -> list[int]:
        """Allocates the inputs of a signature as tensors; `delete` them."""
        return [self._tensor(inputs[name]) for name in self._names[signature][0]]

    def run(self, signature: str, tensors: list[int]) -> list[int]:
        """Computes the outputs of a signature as tensors; `delete` them.

        Raises:
            CError: TensorFlow refuses the inputs, or fails.
        """
        inputs, outputs = self._places[signature]
        values, results = ((ctypes.c_void_p * len(side))() for side in (inputs, outputs))
        values[:] = tensors
        self._library.TF_SessionRun(
            self._session, None, inputs, values, len(values), outputs, results, len(results),
            None, 0, None, self._status,
        )  # fmt: skip
        self._check()
        return list(results)

    def to_arrays(self, tensors: list[int], signature: str) -> dict[str, np.ndarray]:
        """Converts the outputs of a signature to arrays and deletes their tensors."""
        arrays = dict(zip(self._names[signature][1], map(self._array, tensors)))
        self.delete(tensors)
        return arrays

    def delete(self, tensors: list[int]) -> None:
        """Frees tensors."""
        for tensor in tensors:
            self._library.TF_DeleteTensor(tensor)

    def _find(self, tensor: str) -> _Output:
        name, _, index = tensor.rpartition(":")
        operation = self._library.TF_GraphOperationByName(self._graph, name.encode())
        return _Output(operation, int(index))

    def _check(self) -> None:
        code = self._library.TF_GetCode(self._status)
        if code:
            message = self._library.TF_Message(self._status).decode(errors="replace")
            raise CError(code, message)

    def _tensor(self, value: np.ndarray) -> int:
        value = np.ascontiguousarray(value)
        sizes = (ctypes.c_int64 * value.ndim)(*value.shape)
        tensor = self._library.TF_AllocateTensor(
            TYPES[value.dtype.name], sizes, value.ndim, value.nbytes
        )
        if value.nbytes:
            ctypes.memmove(self._library.TF_TensorData(tensor), value.ctypes.data, value.nbytes)
        return tensor

    def _array(self, tensor: int) -> np.ndarray:
        library = self._library
        sizes = [library.TF_Dim(tensor, i) for i in range(library.TF_NumDims(tensor))]
        kind = {number: name for name, number in TYPES.items()}[library.TF_TensorType(tensor)]
        array = np.empty(sizes, kind)
        if array.nbytes:
            ctypes.memmove(array.ctypes.data, library.TF_TensorData(tensor), array.nbytes)
        return array
