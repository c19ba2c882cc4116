using KantaGateway.Fhir.Interactions;

namespace KantaGateway.Tests.Fhir.Interactions;

public class PreferencesTests
{
    [Theory]
    [InlineData(null, ReturnPreference.Unstated)]
    [InlineData("", ReturnPreference.Unstated)]
    [InlineData("return=minimal", ReturnPreference.Minimal)]
    [InlineData("Return = \"representation\"", ReturnPreference.Representation)]
    [InlineData("handling=strict, return=OperationOutcome; x=y", ReturnPreference.OperationOutcome)]
    [InlineData("respond-async,return=minimal,return=representation", ReturnPreference.Minimal)]
    [InlineData("return=everything", ReturnPreference.Unstated)]
    [InlineData("xreturn=minimal", ReturnPreference.Unstated)]
    [InlineData("handling=\"return=minimal\"", ReturnPreference.Unstated)]
    [InlineData(",;=,return", ReturnPreference.Unstated)]
    public void A_preference_is_read_as_RFC_7240_writes_it(string? header, ReturnPreference expected) => Assert.Equal(expected, Preferences.Return(header));
}
