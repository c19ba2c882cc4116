using Hl7.Fhir.Model;
using Hl7.Fhir.Utility;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Tests.Fhir.Outcomes;

public class OutcomeTextsTests
{
    [Theory]
    [InlineData(null, OutcomeLanguage.Finnish)]
    [InlineData("", OutcomeLanguage.Finnish)]
    [InlineData("*", OutcomeLanguage.Finnish)]
    [InlineData("fi", OutcomeLanguage.Finnish)]
    [InlineData("sv-FI, fi;q=0.8", OutcomeLanguage.Swedish)]
    [InlineData("fi;q=0.2, sv;q=0.9, en;q=0.5", OutcomeLanguage.Swedish)]
    [InlineData("de, EN-gb;q=0.7, fi;q=0.3", OutcomeLanguage.English)]
    [InlineData("fi;q=0, sv;q=0", OutcomeLanguage.English)]
    [InlineData("de-AT", OutcomeLanguage.English)]
    [InlineData("sv;q=high, fi;q=0.1", OutcomeLanguage.Finnish)]
    [InlineData(";;;,,", OutcomeLanguage.English)]
    public void A_caller_is_answered_in_the_best_language_there_is(string? acceptLanguage, OutcomeLanguage expected) =>
        Assert.Equal(expected, OutcomeLanguages.Of(acceptLanguage));

    [Fact]
    public void Every_sentence_is_there_in_each_language_and_is_a_sentence()
    {
        Assert.All(OutcomeTexts.All, entry =>
        {
            Assert.Equal(3, entry.Texts.Length);
            Assert.All(entry.Texts, text => Assert.True(char.IsUpper(text[0]) && text.EndsWith('.') && text.Trim() == text, $"{entry.Key}: {text}"));
            Assert.Equal(3, entry.Texts.Distinct().Count());
        });
    }

    [Fact]
    public void Every_kind_of_fault_and_every_issue_type_of_FHIR_has_its_sentence()
    {
        var keys = OutcomeTexts.All.Select(t => t.Key).ToHashSet();
        Assert.All(Enum.GetNames<FaultKind>(), kind => Assert.Contains("kinds/" + kind, keys));
        // The SDK's enumeration has two more, of R5.
        Assert.All(Enum.GetValues<OperationOutcome.IssueType>().Except([OperationOutcome.IssueType.Success, OperationOutcome.IssueType.LimitedFilter]), type => Assert.Contains("codes/" + type.GetLiteral(), keys));
    }

    [Fact]
    public void An_issue_is_told_by_its_own_message_else_its_code_else_the_kind_of_its_fault()
    {
        string Told(FaultIssue issue) => OutcomeTexts.Of(FaultKind.Unprocessable, issue, OutcomeLanguage.Swedish);

        Assert.Equal("Uppgiften har inga fel.", Told(new("x", Code: "required") { Message = "valid" }));
        Assert.Equal("En obligatorisk uppgift saknas.", Told(new("x", Code: "required")));
        Assert.Equal("Den uppgift som skickades kan inte tas emot som den är.", Told(new("x")));
    }
}
