using System.Buffers.Text;
using System.Security.Cryptography;
using CsCheck;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Tests.Fhir.Grants;

public class DisclosureManifestTests
{
    private static readonly Gen<ManifestItem> Item = Gen.Select(
        Sample.OneOf("Observation", "Patient", "Encounter"), Gen.Guid, Gen.Guid, Sample.OneOf("1.2.246.10.1", "1.2.246.10.2"), Gen.Bool, Sample.OneOf(Register.Patient, Register.Occupational("0204819-8"), "4:an employer"),
        (type, id, version, controller, written, register) => new ManifestItem(type, id.ToString("D"), version.ToString("D"), controller, written, register));

    private static readonly Gen<WrittenHead> Head = Gen.Select(Gen.Bool, Gen.Long[1, long.MaxValue], Gen.ULong, Gen.ULong,
        (isDirectory, sequence, high, low) => new WrittenHead(isDirectory, new(sequence, new(high, low))));

    [Fact]
    public void A_manifest_arrives_as_it_was_written() => Gen.Select(Item.Array[0, 40], Gen.Byte.Array[0, 50], Head.Array[0, 2]).Sample((items, body, heads) =>
    {
        var read = DisclosureManifest.Decode((DisclosureManifest.Of(items, body) with { Heads = heads }).Encode());
        return read is not null && read.Items.SequenceEqual(items) && read.Digest.SequenceEqual(SHA256.HashData(body)) && read.Heads.SequenceEqual(heads);
    });

    [Fact]
    public void A_manifest_of_a_full_page_fits_a_header()
    {
        ManifestItem[] items = [.. Enumerable.Range(0, 200).Select(i => new ManifestItem("Observation", Guid.NewGuid().ToString("D"), Guid.NewGuid().ToString("D"), "1.2.246.10.1"))];
        Assert.InRange(DisclosureManifest.Of(items, []).Encode().Length, 1, 16 * 1024);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("AQ")]
    [InlineData("no base64!")]
    [InlineData("AwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    public void Rejects_what_is_not_a_manifest(string? text) => Assert.Null(DisclosureManifest.Decode(text));

    [Fact]
    public void A_truncated_manifest_is_none_and_does_not_throw()
    {
        var whole = Base64Url.DecodeFromChars((DisclosureManifest.Of([new("Observation", Guid.NewGuid().ToString("D"), Guid.NewGuid().ToString("D"), "1.2")], [1]) with { Heads = [new(false, new(1, 1))] }).Encode());
        for (var length = 0; length < whole.Length; length++)
            Assert.Null(DisclosureManifest.Decode(Base64Url.EncodeToString(whole.AsSpan(0, length))));
    }

    [Fact]
    public void A_manifest_that_claims_billions_of_items_is_none_and_does_not_exhaust_memory()
    {
        byte[] bytes = [4, .. new byte[33], 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x07];
        Assert.Null(DisclosureManifest.Decode(Base64Url.EncodeToString(bytes)));
        byte[] negative = [4, .. new byte[33], 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F];
        Assert.Null(DisclosureManifest.Decode(Base64Url.EncodeToString(negative)));
        byte[] types = [4, .. new byte[33], 0xFF, 0xFF, 0xFF, 0xFF, 0x07];
        Assert.Null(DisclosureManifest.Decode(Base64Url.EncodeToString(types)));
    }

    [Fact]
    public void Random_bytes_are_no_manifest_and_do_not_throw() => Gen.Byte.Array[0, 200].Sample(bytes =>
    {
        bytes = [4, .. bytes];
        _ = DisclosureManifest.Decode(Base64Url.EncodeToString(bytes));
    });
}
