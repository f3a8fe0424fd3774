/// Mistral: all layers attend to a window, if the file names one.
enum MistralFamily: ModelFamily {
    static let family = ModelConfiguration.Family.mistral

    static func configuration(_ file: ConfigurationFile) throws(EngineError) -> ModelConfiguration {
        var model = try ModelConfiguration(llamaLike: file, family: family)
        try model.setWindows(file) { _ in true }
        return model
    }
}
