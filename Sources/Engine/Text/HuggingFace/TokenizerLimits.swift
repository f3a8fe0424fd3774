/// What a tokenizer's file may hold before it is refused.
enum TokenizerLimits {
    /// Tokens, and merges. The largest vocabularies in use have a quarter million.
    static let tokens = 2_000_000
    /// Bytes of an added token: what may be looked at for each byte of a text.
    static let addedTokenBytes = 1_024
    /// Steps of a normalizer, pre-tokenizer, decoder or post-processor, those in sequences counted.
    static let steps = 64
    /// How many times longer normalizing may make a text.
    static let growth = 64
}
