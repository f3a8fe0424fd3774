internal import CAscend

/// Objects of the library that one call is planned with.
struct AscendObjects {
    private var tensors: [OpaquePointer] = []
    private var lists: [OpaquePointer] = []
    private var scalars: [OpaquePointer] = []
    private var integers: [AscendIntegers] = []

    mutating func add(tensor: OpaquePointer) { tensors.append(tensor) }
    /// Lists destroy their tensors.
    mutating func add(list: OpaquePointer) { lists.append(list) }
    mutating func add(scalar: OpaquePointer) { scalars.append(scalar) }
    mutating func add(integers: AscendIntegers) { self.integers.append(integers) }

    /// Destroys all of them.
    mutating func destroy() {
        let objects = AscendLibraries.shared.objects
        for tensor in tensors { _ = objects.aclDestroyTensor?(tensor) }
        for list in lists { _ = objects.aclDestroyTensorList?(list) }
        for scalar in scalars { _ = objects.aclDestroyScalar?(scalar) }
        tensors.removeAll(keepingCapacity: true)
        lists.removeAll(keepingCapacity: true)
        scalars.removeAll(keepingCapacity: true)
        integers.removeAll(keepingCapacity: true)
    }
}
