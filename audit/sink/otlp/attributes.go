package otlp

import common "go.opentelemetry.io/proto/otlp/common/v1"

// attributes are those of a log record. What is empty is left out.
type attributes []*common.KeyValue

func (a attributes) add(key string, v *common.AnyValue) attributes {
	return append(a, &common.KeyValue{Key: key, Value: v})
}

func (a attributes) text(key, value string) attributes {
	if value == "" {
		return a
	}
	return a.add(key, stringValue(value))
}

func (a attributes) number(key string, value int64) attributes {
	return a.add(key, &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: value}})
}

func (a attributes) truth(key string) attributes {
	return a.add(key, &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: true}})
}

func (a attributes) list(key string, values []string) attributes {
	if len(values) == 0 {
		return a
	}
	list := &common.ArrayValue{}
	for _, v := range values {
		list.Values = append(list.Values, stringValue(v))
	}
	return a.add(key, &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: list}})
}

func stringValue(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: valid(s)}}
}
