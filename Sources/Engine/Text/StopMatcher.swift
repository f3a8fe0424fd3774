/// Looks for stop strings in text that arrives in parts, and lets out what cannot belong to one.
///
/// The match is the one that ends first, and of those the longest, however the text was cut. What is held back is
/// exactly the longest end of the text that is a proper prefix of some stop string: each string runs its own
/// Knuth-Morris-Pratt matcher, whose state is the length of that prefix. Each byte costs a bounded number of steps per
/// string.
package struct StopMatcher: Sendable {
    private var strings: [StopString]
    /// Text that may become a stop string: `held.count` is the largest `matched`.
    private var held: [UInt8] = []

    /// - Parameter stopStrings: none of them empty; empty ones never match.
    package init(_ stopStrings: [String]) {
        strings = stopStrings.filter { !$0.isEmpty }.map { StopString(Array($0.utf8)) }
    }

    /// Appends to `released` the text that is certain not to belong to a stop string.
    ///
    /// - Parameter text: the next part, whole characters; so is what is released.
    /// - Returns: whether a stop string is complete. It and what follows are dropped, and the matcher must not be used
    ///   any more.
    package mutating func append(_ text: [UInt8], into released: inout [UInt8]) -> Bool {
        for byte in text {
            var longestMatch = 0
            var longestPrefix = 0
            held.append(byte)
            for index in strings.indices {
                if strings[index].advance(byte) { longestMatch = max(longestMatch, strings[index].matched) }
                longestPrefix = max(longestPrefix, strings[index].matched)
            }
            if longestMatch > 0 {
                released.append(contentsOf: held.dropLast(longestMatch))
                held.removeAll()
                return true
            }
            released.append(contentsOf: held.dropLast(longestPrefix))
            held.removeFirst(held.count - longestPrefix)
        }
        return false
    }

    /// Appends what is still held, once no more text comes.
    package mutating func finish(into released: inout [UInt8]) {
        released.append(contentsOf: held)
        held.removeAll()
    }
}

/// One stop string and how much of it the text ends with.
private struct StopString {
    private let bytes: [UInt8]
    /// (bytes) length of the longest proper prefix that is also an end of the first i + 1 bytes.
    private let fallback: [Int]
    /// Length of the longest prefix that the text ends with; all of it only right after a match.
    private(set) var matched = 0

    init(_ bytes: [UInt8]) {
        var fallback = [0]
        var length = 0
        for index in bytes.indices.dropFirst() {
            while length > 0, bytes[index] != bytes[length] { length = fallback[length - 1] }
            if bytes[index] == bytes[length] { length += 1 }
            fallback.append(length)
        }
        self.bytes = bytes
        self.fallback = fallback
    }

    /// Takes the next byte of the text; returns whether the text ends with the whole string now.
    mutating func advance(_ byte: UInt8) -> Bool {
        while matched > 0, bytes[matched] != byte { matched = fallback[matched - 1] }
        if bytes[matched] == byte { matched += 1 }
        return matched == bytes.count
    }
}
