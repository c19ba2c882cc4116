using System.Globalization;
using System.Text.Json;
using KantaGateway.Gateway.Identification.Mandates;

namespace KantaGateway.Tests.Identification.Mandates;

/// <summary>The signature of requests to e-Authorizations, against checksums that were computed by other means.</summary>
public sealed class RequestSignatureTests
{
    private static readonly JsonElement[] Cases =
        [.. JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Vectors", "e-authorizations-signature.json"))).RootElement.GetProperty("cases").EnumerateArray()];

    public static TheoryData<string> Names => [.. Cases.Select(c => c.GetProperty("name").GetString()!)];

    [Theory, MemberData(nameof(Names))]
    public void Is_the_checksum_of_path_and_time_under_the_key(string name)
    {
        var vector = Cases.Single(c => c.GetProperty("name").GetString() == name);
        string Of(string property) => vector.GetProperty(property).GetString()!;
        Assert.Equal(Of("expect"), RequestSignature.Of("kanta001", Of("key"), Of("path"), DateTimeOffset.Parse(Of("at"), CultureInfo.InvariantCulture)));
    }
}
