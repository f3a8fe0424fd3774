/// A tokenizer of 101 ids for models without words: one for each printable ASCII character, a few merges, and `<s>` and
/// `</s>`, which are 99 and 100.
public enum TinyTokenizer {
    /// The content of `tokenizer.json`.
    public static var json: String {
        let characters = (UInt8(0x21)...0x7E).map { quoted(String(Unicode.Scalar($0))) } + [quoted("Ġ")]
        let merges = [("t", "h"), ("th", "e"), ("Ġ", "the")]
        var tokens = characters + merges.map { quoted($0.0 + $0.1) }
        while tokens.count < 99 { tokens.append(quoted("unused\(tokens.count)")) }
        let vocabulary = tokens.enumerated().map { "\($1):\($0)" }.joined(separator: ",")
        let mergeList = merges.map { quoted("\($0.0) \($0.1)") }.joined(separator: ",")
        let added = [("<s>", 99), ("</s>", 100)].map { text, id in
            #"{"id":\#(id),"content":"\#(text)","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"#
                + #""special":true}"#
        }
        return #"{"version":"1.0","truncation":null,"padding":null,"added_tokens":["# + added.joined(separator: ",")
            + #"],"normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"#
            + #""use_regex":true},"post_processor":null,"decoder":{"type":"ByteLevel","add_prefix_space":true,"#
            + #""trim_offsets":true,"use_regex":true},"model":{"type":"BPE","dropout":null,"unk_token":null,"#
            + #""continuing_subword_prefix":"","end_of_word_suffix":"","fuse_unk":false,"byte_fallback":false,"#
            + #""vocab":{"# + vocabulary + #"},"merges":["# + mergeList + "]}}"
    }

    /// The content of `tokenizer_config.json`.
    public static let configuration =
        #"{"tokenizer_class":"PreTrainedTokenizerFast","bos_token":"<s>","eos_token":{"content":"</s>"},"#
        + #""chat_template":"{% for message in messages %}{{ message.content }}{% endfor %}"}"#

    private static func quoted(_ text: String) -> String {
        "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }
}
