using CsCheck;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Tests.Fhir.Identifiers;

public class IdentifierCipherTests
{
    private static readonly byte[] Key = [.. Enumerable.Range(0, IdentifierCipher.KeySize).Select(i => (byte)i)];

    private static readonly Gen<Pseudonym> AnyPseudonym = Gen.Byte.Array[Pseudonym.Size].Select(bytes => Pseudonym.Read(bytes));

    [Fact]
    public void An_id_leads_back_to_its_compartment_and_sequence_with_the_key_alone()
    {
        using var cipher = new IdentifierCipher(Key);
        Gen.Select(AnyPseudonym, Gen.Long[0, IdentifierCipher.MaxSequence]).Sample((compartment, sequence) =>
            cipher.TryReadResourceId(cipher.ResourceId(compartment, sequence), out var c, out var s) && c == compartment && s == sequence
            && cipher.TryReadVersionId(cipher.VersionId(compartment, sequence), out c, out s) && c == compartment && s == sequence);
    }

    [Fact]
    public void A_version_id_is_not_a_resource_id()
    {
        using var cipher = new IdentifierCipher(Key);
        var compartment = Pseudonym.Read("0123456789"u8);
        Assert.NotEqual(cipher.ResourceId(compartment, 7), cipher.VersionId(compartment, 7));
        Assert.True(cipher.TryReadResourceId(cipher.VersionId(compartment, 7), out var read, out _));
        Assert.NotEqual(compartment, read);
    }

    [Fact]
    public void Another_key_makes_other_ids()
    {
        using var cipher = new IdentifierCipher(Key);
        using var other = new IdentifierCipher([.. Key.Reverse()]);
        Assert.NotEqual(cipher.PatientId(Pseudonym.Read("0123456789"u8)), other.PatientId(Pseudonym.Read("0123456789"u8)));
    }

    [Fact]
    public void Neighbouring_ids_of_one_patient_share_nothing_that_shows()
    {
        using var cipher = new IdentifierCipher(Key);
        var compartment = Pseudonym.Read("0123456789"u8);
        var ids = Enumerable.Range(0, 1000).Select(i => cipher.ResourceId(compartment, i)).ToList();
        Assert.Equal(1000, ids.Distinct().Count());
        // Half of the 128 bits differ on average between random blocks; a counter would differ in a few.
        var differing = ids.Zip(ids.Skip(1)).Average(p => BitsApart(p.First, p.Second));
        Assert.InRange(differing, 60, 68);
    }

    [Theory]
    [InlineData("")]
    [InlineData("1")]
    [InlineData("4f8c0e5a90c14e559d1b010190999012")]
    [InlineData("{4f8c0e5a-90c1-4e55-9d1b-010190999012}")]
    [InlineData("4f8c0e5a-90c1-4e55-9d1b-01019099901g")]
    public void Rejects_what_is_not_a_uuid(string id)
    {
        using var cipher = new IdentifierCipher(Key);
        Assert.False(cipher.TryReadResourceId(id, out _, out _));
        Assert.False(cipher.TryReadVersionId(id, out _, out _));
    }

    [Fact]
    public void Ids_are_read_in_either_case_but_written_in_one()
    {
        using var cipher = new IdentifierCipher(Key);
        var id = cipher.ResourceId(Pseudonym.Read("0123456789"u8), 7);
        Assert.Equal(id.ToLowerInvariant(), id);
        Assert.True(cipher.TryReadResourceId(id.ToUpperInvariant(), out _, out var sequence));
        Assert.Equal(7, sequence);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(IdentifierCipher.MaxSequence + 1)]
    public void Refuses_a_sequence_that_would_run_into_the_pseudonym(long sequence)
    {
        using var cipher = new IdentifierCipher(Key);
        Assert.Throws<ArgumentOutOfRangeException>(() => cipher.ResourceId(Pseudonym.Directory, sequence));
    }

    private static int BitsApart(string a, string b) =>
        Guid.Parse(a).ToByteArray().Zip(Guid.Parse(b).ToByteArray()).Sum(p => System.Numerics.BitOperations.PopCount((uint)(p.First ^ p.Second)));
}
