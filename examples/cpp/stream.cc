// Streams steps through an exported version: one line of numbers in, x(t), one line out, y(t).
//
//   make && printf '0 1 0\n1 0 0\n' | ./stream ../../served/music/1
//
// TensorFlow's C API loads and runs the version, as TF Serving does; no Python is involved. The
// state starts at zeros, stays in the client's hands and goes in again with the next x.

#include <cstring>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tensorflow/c/c_api.h"
#include "tensorflow/core/protobuf/meta_graph.pb.h"

// Says what TensorFlow refuses, such as a token out of range, and ends.
void Check(TF_Status* status) {
  if (TF_GetCode(status) == TF_OK) return;
  std::cerr << TF_Message(status) << std::endl;
  std::exit(1);
}

int main(int argc, char** argv) {
  if (argc != 2) return std::cerr << "usage: stream VERSION_FOLDER < x > y" << std::endl, 2;
  TF_Status* status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_Buffer* described = TF_NewBuffer();
  const char* tags[] = {"serve"};
  TF_Session* session = TF_LoadSessionFromSavedModel(
      TF_NewSessionOptions(), nullptr, argv[1], tags, 1, graph, described, status);
  Check(status);

  // The signature says which tensor of the graph each input and output is, as "name:0".
  tensorflow::MetaGraphDef meta;
  meta.ParseFromArray(described->data, static_cast<int>(described->length));
  const tensorflow::SignatureDef& step = meta.signature_def().at("step");
  auto find = [&](const tensorflow::TensorInfo& info) {
    const std::string::size_type colon = info.name().rfind(':');
    const std::string name = info.name().substr(0, colon);
    return TF_Output{TF_GraphOperationByName(graph, name.c_str()),
                     std::stoi(info.name().substr(colon + 1))};
  };
  const tensorflow::TensorInfo& x = step.inputs().at("x_t");
  const tensorflow::TensorInfo& state = step.inputs().at("state");
  const TF_Output inputs[] = {find(x), find(state)};
  const TF_Output outputs[] = {find(step.outputs().at("y_t")), find(step.outputs().at("next_state"))};

  const bool tokens = x.dtype() == tensorflow::DT_INT32;
  const int64_t width = tokens ? 1 : x.tensor_shape().dim(1).size();
  const int64_t x_shape[] = {1, width}, state_shape[] = {1, state.tensor_shape().dim(1).size()};
  TF_Tensor* values[2];
  values[1] = TF_AllocateTensor(TF_FLOAT, state_shape, 2, state_shape[1] * sizeof(float));
  std::memset(TF_TensorData(values[1]), 0, TF_TensorByteSize(values[1]));

  for (std::string line; std::getline(std::cin, line);) {
    values[0] = TF_AllocateTensor(tokens ? TF_INT32 : TF_FLOAT, x_shape, tokens ? 1 : 2, width * 4);
    std::istringstream numbers(line);
    void* data = TF_TensorData(values[0]);
    for (int64_t i = 0; i < width; ++i) {
      if (tokens) numbers >> static_cast<int32_t*>(data)[i];
      else numbers >> static_cast<float*>(data)[i];
    }
    if (!numbers) return std::cerr << "a line must have " << width << " numbers" << std::endl, 1;

    TF_Tensor* results[2] = {nullptr, nullptr};
    TF_SessionRun(session, nullptr, inputs, values, 2, outputs, results, 2, nullptr, 0, nullptr, status);
    Check(status);
    const float* y = static_cast<const float*>(TF_TensorData(results[0]));
    std::cout.precision(9);  // enough for a float32, bit for bit
    for (int64_t i = 0; i < TF_Dim(results[0], 1); ++i) std::cout << (i ? " " : "") << y[i];
    std::cout << std::endl;
    for (TF_Tensor* done : {values[0], values[1], results[0]}) TF_DeleteTensor(done);
    values[1] = results[1];
  }
}
