//! The children of nested types: lists of every layout, structs and maps.

use arrow::datatypes::{DataType, FieldRef};

/// A nested type with each child, told by its place, made anew; any other type as it is.
pub fn with_children(
    data_type: &DataType,
    mut child: impl FnMut(usize, &FieldRef) -> FieldRef,
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
