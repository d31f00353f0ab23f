//! The children of nested types: lists of every layout, structs and maps.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};

use super::storage::value_type;

/// The children of a nested type; any other has none.
pub fn children(data_type: &DataType) -> &[FieldRef] {
    use DataType::*;
    match data_type {
        List(field) | LargeList(field) | ListView(field) | LargeListView(field) => {
            std::slice::from_ref(field)
        }
        FixedSizeList(field, _) | Map(field, _) => std::slice::from_ref(field),
        Struct(fields) => fields,
        _ => &[],
    }
}

/// A nested type with each child, told by its place, made anew; any other type as it is. Once in the wasm for all its
/// callers.
pub fn with_children(
    data_type: &DataType,
    child: &mut dyn FnMut(usize, &FieldRef) -> FieldRef,
) -> DataType {
    use DataType::*;
    match data_type {
        List(field) => List(child(0, field)),
        LargeList(field) => LargeList(child(0, field)),
        ListView(field) => ListView(child(0, field)),
        LargeListView(field) => LargeListView(child(0, field)),
        FixedSizeList(field, size) => FixedSizeList(child(0, field), *size),
        Map(field, sorted) => Map(child(0, field), *sorted),
        Struct(fields) => {
            Struct(fields.iter().enumerate().map(|(at, field)| child(at, field)).collect())
        }
        other => other.clone(),
    }
}

/// A column's type with room for the nulls that a frame's type of the same shape has room for, at
/// any depth.
pub fn relaxed(known: &DataType, frame: &DataType) -> DataType {
    let frame = value_type(frame);
    if let DataType::Dictionary(keys, values) = known {
        return DataType::Dictionary(keys.clone(), Box::new(relaxed(values, frame)));
    }
    let others = children(frame);
    with_children(known, &mut |at, field| match others.get(at) {
        None => field.clone(),
        Some(other) => {
            let nullable = field.is_nullable() || other.is_nullable();
            let data_type = relaxed(field.data_type(), other.data_type());
            Arc::new(field.as_ref().clone().with_data_type(data_type).with_nullable(nullable))
        }
    })
}
