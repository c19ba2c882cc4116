using CsCheck;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Tests.Fhir.Identifiers;

public class PersonalIdentityCodeTests
{
    // Written out again from the published table, so that it is not the product's own arithmetic.
    private const string Table = "0123456789ABCDEFHJKLMNPRSTUVWXY";

    private static readonly Gen<string> ValidCode =
        Gen.Select(Gen.Int[0, 99], Gen.Int[1, 12], Gen.Int[1, 28], Sample.OneOf("+-YXWVUABCDEF".ToCharArray()), Gen.Int[900, 999],
            (year, month, day, sign, individual) =>
            {
                var digits = $"{day:00}{month:00}{year:00}{individual:000}";
                return $"{digits[..6]}{sign}{digits[6..]}{Table[(int)(long.Parse(digits) % 31)]}";
            });

    [Fact]
    public void Codes_of_the_vectors_are_judged_as_their_sources_say()
    {
        var vectors = Sample.Vectors("identity-codes.json").GetProperty("codes").EnumerateArray().ToList();
        Assert.NotEmpty(vectors);
        foreach (var vector in vectors)
        {
            var text = vector.GetProperty("code").GetString();
            var parsed = PersonalIdentityCode.TryParse(text, out var code, out var error);
            Assert.True(error.ToString() == vector.GetProperty("expect").GetString(), $"vector '{text}': {error}");
            Assert.Equal(error == IdentityCodeError.None, parsed);
            if (parsed)
                Assert.Equal(text, code.Reveal());
        }
    }

    [Fact]
    public void Accepts_every_well_made_code_and_gives_it_back_unchanged() => ValidCode.Sample(text =>
        PersonalIdentityCode.TryParse(text, out var code) && code.Reveal() == text && code.IsTemporary);

    [Fact]
    public void Rejects_every_code_with_one_digit_or_the_check_character_changed() =>
        Gen.Select(ValidCode, Sample.OneOf(0, 1, 2, 3, 4, 5, 7, 8, 9, 10), Sample.OneOf(Table.ToCharArray())).Sample((text, at, with) =>
        {
            var changed = text[..at] + with + text[(at + 1)..];
            return PersonalIdentityCode.TryParse(changed, out _) == (changed == text);
        });

    [Fact]
    public void Two_codes_that_differ_by_the_century_sign_alone_are_two_people()
    {
        Assert.True(PersonalIdentityCode.TryParse("010190-999W", out var one));
        Assert.True(PersonalIdentityCode.TryParse("010190Y999W", out var other));
        Assert.NotEqual(one, other);
    }

    [Fact]
    public void Printing_a_code_reveals_nothing() => ValidCode.Sample(text =>
    {
        PersonalIdentityCode.TryParse(text, out var code);
        return !$"{code}".Contains(text[..6]) && !$"{code}".Contains(text[7..]);
    });

    [Fact]
    public void A_code_is_found_inside_a_longer_text_but_not_inside_a_longer_word() => ValidCode.Sample(text =>
        PersonalIdentityCode.Occurs($"/fhir/Patient?identifier={text}&x")
        && PersonalIdentityCode.Occurs($"urn:oid:1.2.246.21|{text}")
        && PersonalIdentityCode.Occurs(text.ToLowerInvariant())
        && !PersonalIdentityCode.Occurs($"a{text}") && !PersonalIdentityCode.Occurs($"{text}9"));

    [Theory]
    [InlineData("2024-05-01T10:00:00+03:00")]
    [InlineData("4f8c0e5a-90c1-4e55-9d1b-010190999012")]
    [InlineData("1.2.246.10.2048198.14.2024.15")]
    public void Times_ids_and_oids_are_not_taken_for_codes(string text) => Assert.False(PersonalIdentityCode.Occurs(text));
}
