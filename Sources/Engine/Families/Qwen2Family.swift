/// Qwen2 and Qwen2.5: biases on queries, keys and values.
enum Qwen2Family: ModelFamily {
    static let family = ModelConfiguration.Family.qwen2

    static func configuration(_ file: ConfigurationFile) throws(EngineError) -> ModelConfiguration {
        var model = try ModelConfiguration(llamaLike: file, family: family)
        model.hasAttentionBias = true
        try model.setQwenWindows(file)
        return model
    }
}

extension ModelConfiguration {
    /// The last layers attend to a window, if the file asks for it at all.
    mutating func setQwenWindows(_ file: ConfigurationFile) throws(EngineError) {
        guard try file.bool("use_sliding_window") ?? false else { return }
        let first = try file.integer("max_window_layers", in: 0...ModelLimits.layers.upperBound) ?? 28
        try setWindows(file, default: 4096) { $0 >= first }
    }
}
