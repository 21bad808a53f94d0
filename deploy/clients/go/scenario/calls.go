package main

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "sutra.dev/sutra/v1"
)

// What gRPC calls a code, as it is written in other languages.
var codeNames = map[codes.Code]string{
	codes.Canceled:           "CANCELLED",
	codes.Unknown:            "UNKNOWN",
	codes.InvalidArgument:    "INVALID_ARGUMENT",
	codes.DeadlineExceeded:   "DEADLINE_EXCEEDED",
	codes.NotFound:           "NOT_FOUND",
	codes.AlreadyExists:      "ALREADY_EXISTS",
	codes.PermissionDenied:   "PERMISSION_DENIED",
	codes.ResourceExhausted:  "RESOURCE_EXHAUSTED",
	codes.FailedPrecondition: "FAILED_PRECONDITION",
	codes.Aborted:            "ABORTED",
	codes.OutOfRange:         "OUT_OF_RANGE",
	codes.Unimplemented:      "UNIMPLEMENTED",
	codes.Internal:           "INTERNAL",
	codes.Unavailable:        "UNAVAILABLE",
	codes.DataLoss:           "DATA_LOSS",
	codes.Unauthenticated:    "UNAUTHENTICATED",
}

// A call is one step's way to its server.
type call struct {
	path   string
	method protoreflect.MethodDescriptor
	conn   *grpc.ClientConn
	ctx    context.Context
	cancel context.CancelFunc
}

func findMethod(path string) (protoreflect.MethodDescriptor, error) {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.Replace(path, "/", ".", 1)))
	if err != nil {
		return nil, err
	}
	return found.(protoreflect.MethodDescriptor), nil
}

// message makes a generated one of the type; from JSON unless that is nil.
func message(descriptor protoreflect.MessageDescriptor, from any) (proto.Message, error) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(descriptor.FullName())
	if err != nil {
		return nil, err
	}
	made := kind.New().Interface()
	if from == nil {
		return made, nil
	}
	text, err := json.Marshal(from)
	if err != nil {
		return nil, err
	}
	return made, protojson.Unmarshal(text, made)
}

func toJSON(made proto.Message) (any, error) {
	text, err := protojson.Marshal(made)
	if err != nil {
		return nil, err
	}
	var value any
	return value, json.Unmarshal(text, &value)
}

// errorObject is what the scenario expects of a failed call: code, message, and what is in the details.
func errorObject(failure error) object {
	told := status.Convert(failure)
	result := object{"code": codeNames[told.Code()], "message": told.Message()}
	for _, detail := range told.Details() {
		switch detail := detail.(type) {
		case *errdetails.BadRequest:
			addMembers(result, detail)
		case *errdetails.ErrorInfo:
			addMembers(result, detail)
		}
	}
	return result
}

func addMembers(to object, detail proto.Message) {
	if members, err := toJSON(detail); err == nil {
		for name, value := range members.(object) {
			to[name] = value
		}
	}
}

func (c *call) unary(request any, cancelAfter time.Duration) (any, error) {
	in, err := message(c.method.Input(), request)
	if err != nil {
		return nil, err
	}
	out, err := message(c.method.Output(), nil)
	if err != nil {
		return nil, err
	}
	if cancelAfter > 0 {
		defer time.AfterFunc(cancelAfter, c.cancel).Stop()
	}
	if err := c.conn.Invoke(c.ctx, c.path, in, out); err != nil {
		return nil, err
	}
	return toJSON(out)
}

func (c *call) open() (grpc.ClientStream, error) {
	streams := grpc.StreamDesc{ServerStreams: c.method.IsStreamingServer(), ClientStreams: c.method.IsStreamingClient()}
	return c.conn.NewStream(c.ctx, &streams, c.path)
}

func (c *call) send(stream grpc.ClientStream, request any) error {
	in, err := message(c.method.Input(), request)
	if err != nil {
		return err
	}
	return stream.SendMsg(in)
}

func (c *call) receive(stream grpc.ClientStream) (any, error) {
	out, err := message(c.method.Output(), nil)
	if err != nil {
		return nil, err
	}
	if err := stream.RecvMsg(out); err != nil {
		return nil, err
	}
	return toJSON(out)
}

// list joins the responses of a stream from the server.
func (c *call) list(request any) (any, error) {
	stream, err := c.open()
	if err != nil {
		return nil, err
	}
	if err := c.send(stream, request); err != nil {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	joined := object{}
	for {
		response, err := c.receive(stream)
		if err == io.EOF {
			return joined, nil
		}
		if err != nil {
			return nil, err
		}
		join(joined, response.(object))
	}
}

func join(whole, response object) {
	for name, value := range response {
		if rows, ok := value.([]any); ok {
			before, _ := whole[name].([]any)
			value = append(before, rows...)
		}
		whole[name] = value
	}
}

// importAll sends all requests, or, with cancelAfter, so many, and cancels when it has as many responses.
func (c *call) importAll(requests []any, cancelAfter int) ([]any, error) {
	stream, err := c.open()
	if err != nil {
		return nil, err
	}
	if cancelAfter > 0 {
		requests = requests[:cancelAfter]
	}
	sent := make(chan error, 1)
	go func() { sent <- c.sendAll(stream, requests, cancelAfter == 0) }()
	responses := []any{}
	for {
		response, err := c.receive(stream)
		if err == io.EOF {
			return responses, <-sent
		}
		if err != nil {
			return responses, err
		}
		if responses = append(responses, response); len(responses) == cancelAfter {
			c.cancel()
		}
	}
}

// sendAll leaves it to the receiver to hear why a stream broke.
func (c *call) sendAll(stream grpc.ClientStream, requests []any, last bool) error {
	for _, request := range requests {
		if err := c.send(stream, request); err != nil && err != io.EOF {
			return err
		}
	}
	if last {
		return stream.CloseSend()
	}
	return nil
}
