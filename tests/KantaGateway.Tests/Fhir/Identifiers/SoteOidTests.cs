using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Tests.Fhir.Identifiers;

/// <summary>JHS 159, annex 1: organisations are named by their business ids.</summary>
public sealed class SoteOidTests
{
    [Theory]
    [InlineData("1.2.246.10.2048198")]
    [InlineData("1.2.246.10.2048198.10.1")]
    [InlineData("1.2.246.10.2048198.10.4711")]
    [InlineData("1.2.246.10.1120389")]
    public void Accepts_a_business_id_and_its_units(string oid) => Assert.True(SoteOid.IsOne(Oid.Parse(oid)));

    [Theory]
    [InlineData("1.2.246.10.2048199")]
    [InlineData("1.2.246.10.2408198")]
    [InlineData("1.2.246.10.123456789")]
    [InlineData("1.2.246.10.5")]
    [InlineData("1.2.246.10.2048198.10")]
    [InlineData("1.2.246.10.2048198.11.1")]
    [InlineData("1.2.246.10.2048198.10.0")]
    [InlineData("1.2.246.10.2048198.10.1.1")]
    [InlineData("1.2.246.537.2048198")]
    [InlineData("1.2.246.10")]
    public void Rejects_what_is_no_organisation_of_the_register(string oid) => Assert.False(SoteOid.IsOne(Oid.Parse(oid)));

    /// <summary>A remainder of 1 has no check digit, so of ten last digits none will do.</summary>
    [Fact]
    public void Of_a_number_one_check_digit_holds_or_none()
    {
        for (var serial = 100_000; serial < 100_200; serial++)
        {
            var holding = Enumerable.Range(0, 10).Count(digit => SoteOid.IsOne(Oid.Parse($"1.2.246.10.{serial}{digit}")));
            var text = $"0{serial}";
            var rest = text.Zip([7, 9, 10, 5, 8, 4, 2], (digit, weight) => (digit - '0') * weight).Sum() % 11;
            Assert.Equal(rest == 1 ? 0 : 1, holding);
        }
    }
}
