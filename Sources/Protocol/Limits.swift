/// Every maximum of the protocol, with its reason. Sizes are in bytes and exclude the frame header unless they say so.
///
/// A receiver compares a length with its limit as soon as the header is there, before it waits for or stores the payload.
package enum Limits {
    /// The fixed part in front of every payload.
    package static let header = 8
    /// The payload of HELLO, and so all that a peer can make us hold before it is known: the largest credential (1 KiB)
    /// and agent (256 B) with room for fields of later versions.
    package static let helloPayload = 4_096
    /// What a u24 length can say.
    package static let largestPayload = 0xFF_FFFF
    /// A peer may not announce less in HELLO. Everything but GENERATE, CALL and REPLY is smaller by construction, so that
    /// a server never has to ask whether a TOKENS or FINISH frame fits.
    package static let smallestAnnouncedPayload = 65_536
    /// What a server accepts by default: a prompt of 1 MiB, and 64 KiB for everything else in the request.
    package static let serverPayload: UInt32 = 1_048_576 + 65_536
    /// What a client accepts by default: the 4-byte ids of a 1 MiB text in which every byte is a token.
    package static let clientPayload: UInt32 = 4 * 1_048_576 + 65_536
    /// Streams open at once on one connection, as nginx's and Envoy's HTTP/2: enough for a gateway, and one connection
    /// cannot fill a server's queue.
    package static let concurrentStreams: UInt32 = 128
    /// The largest stream number; a client that reaches it opens a new connection. Leaves half the space for streams
    /// that a later version may let servers open.
    package static let lastStream: UInt32 = 0x7FFF_FFFF

    /// A bearer key; longer ones (signed tokens) have no place in a HELLO read before authentication.
    package static let credential = 1_024
    /// Names of software, models, roles and statistics are for people and logs.
    package static let name = 256
    /// The role of a chat message comes from a closed set of short words.
    package static let role = 32
    /// Messages of a chat; each costs its receiver about a hundred bytes besides its text.
    package static let messages = 2_048
    /// The JSON of a request's tools: about a hundred functions with long descriptions.
    package static let tools = 262_144
    /// The JSON of a request's template arguments: a few switches.
    package static let templateArguments = 16_384
    /// Stop strings are compared with the tail of the output after every token.
    package static let stopStrings = 16
    /// One stop string; text that may become one is withheld, so its length is latency.
    package static let stopString = 256
    /// Stop token ids are looked up after every token.
    package static let stopTokens = 64
    /// Likeliest alternatives reported for a token, besides the chosen one: the bound of other servers' APIs.
    package static let alternatives = 20
    /// The sentence in an ERROR; longer ones are cut by the sender.
    package static let errorMessage = 1_024

    /// Tokens in one TOKENS frame: what its u8 count can say.
    package static let tokensPerFrame = 255
    /// Text of one token, so that credit bounds a receiver's memory: (limit - consumed) x 4 KiB.
    package static let tokenText = 4_096
    /// Text of one TOKENS frame: with 255 tokens of 21 log-probabilities the payload stays under
    /// `smallestAnnouncedPayload`.
    package static let tokensText = 16_384
}
