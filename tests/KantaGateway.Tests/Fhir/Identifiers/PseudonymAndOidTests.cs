using CsCheck;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Tests.Fhir.Identifiers;

public class PseudonymTests
{
    [Fact]
    public void A_pseudonym_survives_the_wire_and_the_store() => Gen.Byte.Array[Pseudonym.Size].Sample(bytes =>
    {
        var pseudonym = Pseudonym.Read(bytes);
        return pseudonym.ToArray().SequenceEqual(bytes) && Pseudonym.TryDecode(pseudonym.Encode(), out var read) && read == pseudonym;
    });

    [Fact]
    public void Only_the_all_zero_pseudonym_is_the_directory()
    {
        Assert.True(Pseudonym.Directory.IsDirectory);
        Assert.False(Pseudonym.Read([0, 0, 0, 0, 0, 0, 0, 0, 0, 1]).IsDirectory);
        Assert.False(Pseudonym.Read([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]).IsDirectory);
    }

    [Fact]
    public void Printing_a_pseudonym_reveals_nothing()
    {
        var pseudonym = Pseudonym.Read("0123456789"u8);
        Assert.DoesNotContain(pseudonym.Encode(), $"{pseudonym}");
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("AAAAAAAAAAAAA")]
    [InlineData("AAAAAAAAAAAAAAA")]
    [InlineData("AAAAAAAAAAAAA!")]
    [InlineData("AAAAAAAAAAAAA ")]
    public void Rejects_what_it_did_not_write(string? text) => Assert.False(Pseudonym.TryDecode(text, out _));
}

public class OidTests
{
    [Theory]
    [InlineData("1.2.246.10.2048198")]
    [InlineData("urn:oid:1.2.246.10.2048198")]
    [InlineData("0.9")]
    [InlineData("2.16.840.1.113883.3.0")]
    public void Accepts_dotted_and_urn_forms_and_prints_the_dotted(string text)
    {
        Assert.True(Oid.TryParse(text, out var oid));
        Assert.Equal(text.Replace("urn:oid:", ""), oid.ToString());
        Assert.Equal("urn:oid:" + oid, oid.Urn);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("1")]
    [InlineData("1.")]
    [InlineData("3.1")]
    [InlineData("1..2")]
    [InlineData("1.02")]
    [InlineData("1.2.")]
    [InlineData("1.2.x")]
    [InlineData("1.2 ")]
    [InlineData("11.2")]
    [InlineData("URN:OID:1.2")]
    [InlineData("urn:oid:urn:oid:1.2")]
    public void Rejects_everything_else(string? text) => Assert.False(Oid.TryParse(text, out _));

    [Fact]
    public void Rejects_an_oid_longer_than_128_characters() => Assert.False(Oid.TryParse("1." + new string('1', 127), out _));
}
