/// An array of plain values with one owner: no reference count to ask before each change, and clearing it costs nothing. What
/// a `TokenBuffer` needs a few times for every token.
struct PlainArray<Element: BitwiseCopyable>: ~Copyable {
    // Initialized up to `count`, allocated up to `capacity`. Counted in 32 bits: there is an array or five for every stream.
    private var memory: UnsafeMutablePointer<Element>?
    private var initialized: UInt32 = 0
    private var capacity: UInt32 = 0

    /// Number of elements.
    var count: Int { Int(initialized) }

    /// An array without memory.
    init() {}

    deinit { memory?.deallocate() }

    /// Its elements.
    var span: Span<Element> {
        @_lifetime(borrow self)
        get {
            let span = UnsafeBufferPointer(start: memory, count: count).span
            return _overrideLifetime(span, borrowing: self)
        }
    }

    /// Adds one element.
    @inline(__always)
    mutating func append(_ element: Element) {
        let end = room(for: 1)
        end.initialize(to: element)
        initialized += 1
    }

    /// Adds elements.
    @inline(__always)
    mutating func append(_ elements: Span<Element>) {
        let end = room(for: elements.count)
        elements.withUnsafeBufferPointer { source in
            for index in source.indices { (end + index).initialize(to: source[index]) }
        }
        initialized += UInt32(elements.count)
    }

    /// Takes `number` elements from the front, of which there are as many.
    mutating func removeFirst(_ number: Int) {
        precondition((0...count).contains(number), "elements are removed that are not there")
        if let memory, number < count { memory.update(from: memory + number, count: count - number) }
        initialized -= UInt32(number)
    }

    /// Where `number` more elements go.
    @inline(__always)
    private mutating func room(for number: Int) -> UnsafeMutablePointer<Element> {
        if let memory, count + number <= Int(capacity) { return memory + count }
        return grow(for: number)
    }

    @inline(never)
    private mutating func grow(for number: Int) -> UnsafeMutablePointer<Element> {
        let room = max(Self.smallest, 2 * Int(capacity), count + number)
        let larger = UnsafeMutablePointer<Element>.allocate(capacity: room)
        if let memory {
            larger.update(from: memory, count: count)
            memory.deallocate()
        }
        memory = larger
        capacity = UInt32(room)
        return larger + count
    }

    /// Fewest elements that memory is taken for.
    private static var smallest: Int { 8 }
}
