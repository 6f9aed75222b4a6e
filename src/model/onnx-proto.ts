import protobuf from "protobufjs";

/** The part of ONNX's protobuf schema (onnx.proto3, IR version 10) that mutwo reads and writes. */
export const onnxProto = `
syntax = "proto3";
package onnx;
message AttributeProto {
  string name = 1; string ref_attr_name = 21; string doc_string = 13; int32 type = 20;
  float f = 2; int64 i = 3; bytes s = 4; TensorProto t = 5; GraphProto g = 6;
  repeated float floats = 7; repeated int64 ints = 8; repeated bytes strings = 9;
  repeated TensorProto tensors = 10; repeated GraphProto graphs = 11;
}
message ValueInfoProto { string name = 1; TypeProto type = 2; }
message NodeProto {
  repeated string input = 1; repeated string output = 2; string name = 3; string op_type = 4;
  repeated AttributeProto attribute = 5; string doc_string = 6; string domain = 7; string overload = 8;
  repeated StringStringEntryProto metadata_props = 9;
}
message ModelProto {
  int64 ir_version = 1; string producer_name = 2; string producer_version = 3; string domain = 4;
  int64 model_version = 5; string doc_string = 6; GraphProto graph = 7;
  repeated OperatorSetIdProto opset_import = 8; repeated StringStringEntryProto metadata_props = 14;
  repeated FunctionProto functions = 25;
}
message StringStringEntryProto { string key = 1; string value = 2; }
message GraphProto {
  repeated NodeProto node = 1; string name = 2; repeated TensorProto initializer = 5;
  repeated SparseTensorProto sparse_initializer = 15; string doc_string = 10;
  repeated ValueInfoProto input = 11; repeated ValueInfoProto output = 12; repeated ValueInfoProto value_info = 13;
  repeated StringStringEntryProto metadata_props = 16;
}
message TensorProto {
  repeated int64 dims = 1; int32 data_type = 2;
  repeated float float_data = 4 [packed = true]; repeated int32 int32_data = 5 [packed = true];
  repeated bytes string_data = 6; repeated int64 int64_data = 7 [packed = true];
  string name = 8; bytes raw_data = 9; repeated double double_data = 10 [packed = true];
  repeated uint64 uint64_data = 11 [packed = true];
  repeated StringStringEntryProto external_data = 13; int32 data_location = 14;
}
message SparseTensorProto { TensorProto values = 1; TensorProto indices = 2; repeated int64 dims = 3; }
message TensorShapeProto {
  message Dimension { oneof value { int64 dim_value = 1; string dim_param = 2; } }
  repeated Dimension dim = 1;
}
message TypeProto {
  message Tensor { int32 elem_type = 1; TensorShapeProto shape = 2; }
  message Sequence { TypeProto elem_type = 1; }
  message Optional { TypeProto elem_type = 1; }
  oneof value { Tensor tensor_type = 1; Sequence sequence_type = 4; Optional optional_type = 9; }
}
message OperatorSetIdProto { string domain = 1; int64 version = 2; }
message FunctionProto {
  string name = 1; repeated string input = 4; repeated string output = 5; repeated string attribute = 6;
  repeated NodeProto node = 7; repeated OperatorSetIdProto opset_import = 9; string domain = 10;
  repeated AttributeProto attribute_proto = 11;
}
`;

/** Decoded as number or Long, whose text is the number; encoded from any of these. */
type Int64 = number | bigint | string | { toString(): string };

export interface ProtoTensor {
  dims?: Int64[];
  dataType?: number;
  floatData?: number[];
  int32Data?: number[];
  int64Data?: Int64[];
  uint64Data?: Int64[];
  doubleData?: number[];
  rawData?: Uint8Array;
  name?: string;
  externalData?: { key: string; value: string }[];
  dataLocation?: number;
}

export interface ProtoAttribute {
  name: string;
  refAttrName?: string;
  type?: number;
  f?: number;
  i?: Int64;
  s?: Uint8Array;
  t?: ProtoTensor;
  g?: ProtoGraph;
  floats?: number[];
  ints?: Int64[];
  strings?: Uint8Array[];
}

export interface ProtoNode {
  input?: string[];
  output?: string[];
  name?: string;
  opType?: string;
  domain?: string;
  attribute?: ProtoAttribute[];
  docString?: string;
  metadataProps?: { key: string; value: string }[];
}

/** `value` tells which field a file gives; the other one reads as its default. */
export interface ProtoDimension {
  value?: "dimValue" | "dimParam";
  dimValue?: Int64;
  dimParam?: string;
}

export interface ProtoValue {
  name: string;
  type?: { tensorType?: { elemType?: number; shape?: { dim?: ProtoDimension[] } } };
}

export interface ProtoFunction {
  name: string;
  domain?: string;
  input?: string[];
  output?: string[];
  node?: ProtoNode[];
  attributeProto?: ProtoAttribute[];
}

export interface ProtoGraph {
  name?: string;
  node?: ProtoNode[];
  initializer?: ProtoTensor[];
  sparseInitializer?: { values?: ProtoTensor }[];
  input?: ProtoValue[];
  output?: ProtoValue[];
  valueInfo?: ProtoValue[];
  metadataProps?: { key: string; value: string }[];
}

export interface ProtoModel {
  irVersion?: Int64;
  producerName?: string;
  producerVersion?: string;
  graph?: ProtoGraph;
  opsetImport?: { domain?: string; version?: Int64 }[];
  metadataProps?: { key: string; value: string }[];
  functions?: ProtoFunction[];
}

let schema: protobuf.Type | undefined;

const modelType = (): protobuf.Type => {
  schema ??= protobuf.parse(onnxProto).root.lookupType("onnx.ModelProto");
  return schema;
};

/** The fields of an ONNX file. Throws protobuf's own errors. */
export const decodeModel = (bytes: Uint8Array): ProtoModel => modelType().decode(bytes) as unknown as ProtoModel;

/** The bytes of an ONNX file. */
export const encodeModel = (model: ProtoModel): Uint8Array =>
  modelType().encode(modelType().fromObject(model)).finish();

/** Beyond 2^53 the last digits are lost: ONNX uses such numbers only to say "to the end". */
export const toNumber = (value: Int64 | undefined): number => Number(value ?? 0);
