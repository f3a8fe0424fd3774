/// The version of all programs of this package, as semver.org counts.
package let productVersion = "0.1.0"
